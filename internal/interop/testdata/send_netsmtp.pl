# Sends each FILE in one session with Perl's Net::SMTP: send_netsmtp.pl ADDR CAFILE|- FROM TO,TO FILE...
use strict;
use warnings;
use Net::SMTP;

my ($addr, $ca, $from, $to, @files) = @ARGV;
my ($host, $port) = split /:/, $addr;
my $smtp = Net::SMTP->new($host, Port => $port, Timeout => 60) or die "connect: $@";
if ($ca ne '-') {
	$smtp->starttls(SSL_ca_file => $ca, SSL_verifycn_name => 'localhost') or die 'STARTTLS: ' . $smtp->message;
}
for my $name (@files) {
	open my $in, '<:raw', $name or die "$name: $!";
	my $raw = do { local $/; <$in> };
	$smtp->mail($from, Bits => '8') && $smtp->to(split /,/, $to) && $smtp->data or die "$name: " . $smtp->message;
	$smtp->datasend($raw) && $smtp->dataend or die "$name: " . $smtp->message;
}
$smtp->quit;
