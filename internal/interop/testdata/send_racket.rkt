#lang racket/base
;; Sends each FILE with Racket's net/smtp: send_racket.rkt ADDR CAFILE|tls:CAFILE|- FROM TO,TO FILE...
;; With tls: there is TLS from the first octet, else STARTTLS. With MAIL_USER in the environment it authenticates as that
;; with MAIL_PASSWORD.
;; The library asks for TLS 1.0 when it is given ports->ssl-ports as it is; so it is given one that checks the certificate
;; with a context of today.
(require net/smtp openssl racket/list racket/port racket/string racket/tcp)

(define args (vector->list (current-command-line-arguments)))
(define addr (regexp-match #rx"^(.*):([0-9]+)$" (first args)))
(define first-octet? (string-prefix? (second args) "tls:"))
(define ca (string-trim (second args) "tls:" #:right? #f))

(define (context)
  (define c (ssl-make-client-context 'auto))
  (ssl-load-verify-root-certificates! c ca)
  (ssl-set-verify! c #t)
  c)

(define (connect host port) (ssl-connect host port (context)))

(define (encode in out #:mode mode #:encrypt _ #:close-original? close?)
  (ports->ssl-ports in out #:mode mode #:context (context) #:close-original? close?))

;; The header goes in as one string with its empty line, the body as a list of lines without their ends.
(for ([name (drop args 4)])
  (define raw (call-with-input-file name port->bytes))
  (define end (cdar (regexp-match-positions #rx#"\r\n\r\n" raw)))
  (define body (regexp-replace #rx#"\r\n$" (subbytes raw end) #""))
  (smtp-send-message (second addr) (third args) (string-split (fourth args) ",")
                     (bytes->string/latin-1 (subbytes raw 0 end))
                     (if (= end (bytes-length raw)) '() (regexp-split #rx#"\r\n" body))
                     #:port-no (string->number (third addr))
                     #:auth-user (getenv "MAIL_USER")
                     #:auth-passwd (getenv "MAIL_PASSWORD")
                     #:tcp-connect (if first-octet? connect tcp-connect)
                     #:tls-encode (and (not first-octet?) (not (equal? ca "-")) encode)))
