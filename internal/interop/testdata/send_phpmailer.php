<?php
// Composes and sends one message with PHPMailer: send_phpmailer.php ADDR FROM TO FILE
require '/usr/share/php/libphp-phpmailer/autoload.php';

[, $addr, $from, $to, $file] = $argv;
[$host, $port] = explode(':', $addr);
$mail = new PHPMailer\PHPMailer\PHPMailer(true);
$mail->isSMTP();
$mail->Host = $host;
$mail->Port = (int) $port;
$mail->SMTPAutoTLS = false;
$mail->CharSet = 'UTF-8';
$mail->Encoding = '8bit';
$mail->setFrom($from);
$mail->addAddress($to);
$mail->Subject = 'composed';
$mail->Body = file_get_contents($file);
$mail->send();
