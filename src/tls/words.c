/* Why a handshake or a connection failed, for the person on this side: which side was not content,
 * and with what. OpenSSL's own reasons name its parts, not the mistake (TLS-7). */
#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

#include "tls/tls_int.h"

#include "base/banned.h"

const char tls_cut_off[] = "it closed the connection in the middle of TLS";

/* Of errors that are alerts of the other side. */
#define ALERT(alert) (SSL_AD_REASON_OFFSET + (alert))

static const struct reason {
    int reason;
    const char *words;
} reasons[] = {
    /* what we were not content with */
    {SSL_R_UNSUPPORTED_PROTOCOL, "it does not speak TLS 1.3"},
    {SSL_R_NO_PROTOCOLS_AVAILABLE, "it does not speak TLS 1.3"},
    {SSL_R_WRONG_SSL_VERSION, "it does not speak TLS 1.3"},
    {SSL_R_VERSION_TOO_LOW, "it does not speak TLS 1.3"},
    {SSL_R_WRONG_VERSION_NUMBER, "what came is no TLS: it speaks plain text here"},
    {SSL_R_HTTP_REQUEST, "what came is no TLS: it speaks HTTP here"},
    {SSL_R_HTTPS_PROXY_REQUEST, "what came is no TLS: it speaks HTTP here"},
    {SSL_R_PACKET_LENGTH_TOO_LONG, "what came is no TLS: it speaks plain text here"},
    {SSL_R_UNEXPECTED_EOF_WHILE_READING, tls_cut_off},
    {SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM,
     "it knows none of our secrets, and we have no certificate that it could accept"},
    {SSL_R_NO_SHARED_CIPHER, "it knows none of our secrets, and shares no cipher with us"},
    {SSL_R_NO_SUITABLE_KEY_SHARE, "it shares no way of exchanging keys with us"},
    {SSL_R_BINDER_DOES_NOT_VERIFY, "it names our secret and does not know it"},
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "it shows no certificate, and no secret of ours"},
    {SSL_R_DATA_BETWEEN_CCS_AND_FINISHED, "what came breaks the rules of TLS"},
    /* what the other side was not content with */
    {ALERT(SSL_AD_HANDSHAKE_FAILURE), "it has nothing in common with us: it knows no secret of "
                                      "ours and takes no certificate of ours, "
                                      "or we show none"},
    {ALERT(SSL_AD_ILLEGAL_PARAMETER), "it does not accept what we say: is the secret the same?"},
    {ALERT(SSL_AD_DECRYPT_ERROR), "it does not accept our proof"},
    {ALERT(SSL_AD_PROTOCOL_VERSION), "it does not speak TLS 1.3"},
    {ALERT(SSL_AD_UNKNOWN_CA), "it does not know the authority of our certificate"},
    {ALERT(SSL_AD_CERTIFICATE_EXPIRED), "it finds our certificate expired"},
    {ALERT(SSL_AD_CERTIFICATE_REVOKED), "it finds our certificate revoked"},
    {ALERT(SSL_AD_BAD_CERTIFICATE), "it does not accept our certificate"},
    {ALERT(SSL_AD_UNSUPPORTED_CERTIFICATE), "it does not accept our certificate for this use"},
    {ALERT(SSL_AD_CERTIFICATE_UNKNOWN), "it does not accept our certificate"},
    {ALERT(SSL_AD_ACCESS_DENIED), "it does not let us in"},
    {ALERT(SSL_AD_UNKNOWN_PSK_IDENTITY), "it does not know our secret"},
    {ALERT(SSL_AD_INTERNAL_ERROR), "it has met an error of its own"},
    {ALERT(SSL_AD_UNRECOGNIZED_NAME), "it does not go by the name that we call it by"},
};
/* "Certificate required" has no name in OpenSSL's list of reasons by an offset. */
#define ALERT_CERTIFICATE_REQUIRED 116

static const char *find(int reason)
{
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].reason == reason)
            return reasons[i].words;
    if (reason == ALERT(ALERT_CERTIFICATE_REQUIRED))
        return "it demands a certificate, or a secret that it knows";
    return NULL;
}

const char *tls_words(unsigned long openssl_error, int errno_value, char *ret, size_t size)
{
    const char *words = openssl_error != 0 && ERR_GET_LIB(openssl_error) == ERR_LIB_SSL
                            ? find(ERR_GET_REASON(openssl_error))
                            : NULL;
    const char *said = openssl_error != 0 ? ERR_reason_error_string(openssl_error) : NULL;
    char buf[128];

    if (words != NULL)
        (void)snprintf(ret, size, "%s", words);
    else if (openssl_error != 0)
        (void)snprintf(ret, size, "TLS failed: %s", said != NULL ? said : "for no reason given");
    else if (errno_value != 0 && errno_value != ECONNRESET && errno_value != EPIPE)
        (void)snprintf(ret, size, "%s", strerror_r(errno_value, buf, sizeof(buf)));
    else
        (void)snprintf(ret, size, "%s", tls_cut_off);
    return ret;
}

/* A certificate of the other side was looked at, and was not good. */
static bool say_certificate(struct tls_stream *s)
{
    const long result = SSL_get_verify_result(s->ssl);
    char subject[TLS_NAME_BYTES_MAX + 1] = "";
    const X509 *x = SSL_get0_peer_certificate(s->ssl);

    if (ERR_GET_REASON(ERR_peek_error()) != SSL_R_CERTIFICATE_VERIFY_FAILED)
        return false;
    if (x != NULL)
        (void)X509_NAME_oneline(X509_get_subject_name(x), subject, sizeof(subject));
    if (s->side == TLS_DIAL && !s->ctx->has_authorities)
        (void)snprintf(
            s->why, sizeof(s->why),
            "it shows a certificate, and no authorities (ca) are given here; nor does it "
            "know our secret, if we have one");
    else
        (void)snprintf(s->why, sizeof(s->why), "its certificate is not accepted: %s%s%s%s",
                       X509_verify_cert_error_string(result), subject[0] != '\0' ? " (" : "",
                       subject, subject[0] != '\0' ? ")" : "");
    return true;
}

void tls_say_why(struct tls_stream *s, int error, int errno_value)
{
    const unsigned long e = error == SSL_ERROR_SSL ? ERR_peek_error() : 0;

    if (s->why[0] != '\0' || say_certificate(s))
        return;
    (void)tls_words(e, error == SSL_ERROR_SYSCALL ? errno_value : 0, s->why, sizeof(s->why));
}
