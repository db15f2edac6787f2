# Sends each FILE in one session with Ruby's net/smtp: send_ruby.rb ADDR CAFILE|- FROM TO,TO FILE...
require "net/smtp"
require "openssl"

addr, ca, from, to, *files = ARGV
host, port = addr.split(":")
smtp = Net::SMTP.new(host, port.to_i)
if ca == "-"
  smtp.disable_starttls
else
  context = OpenSSL::SSL::SSLContext.new
  context.set_params(ca_file: ca, verify_mode: OpenSSL::SSL::VERIFY_PEER)
  smtp.enable_starttls(context)
end
smtp.start("client.example.com") do
  files.each { |name| smtp.send_message(File.binread(name), from, to.split(",")) }
end
