use strict; use warnings;
use Net::SMTP;
my $e = \%ENV;
my $s = Net::SMTP->new($e->{MAIL_HOST}, Port => $e->{MAIL_PORT}, SSL => $e->{MAIL_TLS} eq 'implicit', SSL_ca_file => $e->{MAIL_CA}) or die "connect: $@";
if ($e->{MAIL_TLS} eq 'starttls') { $s->starttls(SSL_ca_file => $e->{MAIL_CA}) or die 'starttls' }
if ($e->{MAIL_USER}) { $s->auth($e->{MAIL_USER}, $e->{MAIL_PASS}) or die 'auth: ' . $s->message }
open my $f, '<:raw', $e->{MAIL_FILE} or die;
$s->mail('app@shop.test') && $s->to('kim@b.test') && $s->data(<$f>) or die $s->message;
$s->quit;
