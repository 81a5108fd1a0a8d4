/* LOAD-5: the hat of 1/k^s is its integral h(x); a point under it is drawn, and is thrown away
 * where it is not under the bar of its key, which is seldom. Both are written so that s = 1 is no
 * exception: (x^(1-s) - 1) / (1-s) is log(x) there. */
#include "load/draw.h"

#include <math.h>

#include "base/banned.h"

/* (exp(x) - 1) / x and log(1 + x) / x, which are 1 at 0. */
static double growth(double x)
{
    return fabs(x) > 1e-8 ? expm1(x) / x : 1 + x / 2;
}

static double decline(double x)
{
    return fabs(x) > 1e-8 ? log1p(x) / x : 1 - x / 2;
}

static double integral(double exponent, double x)
{
    const double log_x = log(x);

    return growth((1 - exponent) * log_x) * log_x;
}

static double inverse(double exponent, double y)
{
    double t = y * (1 - exponent);

    if (t < -1)
        t = -1; /* by rounding alone */
    return exp(decline(t) * y);
}

static double weight(double exponent, double x)
{
    return exp(-exponent * log(x));
}

void draw_init(struct draw *d, uint64_t n_keys, double exponent)
{
    *d = (struct draw){.n_keys = n_keys, .exponent = exponent};
    d->from = integral(exponent, 1.5) - 1;
    d->to = integral(exponent, (double)n_keys + 0.5);
    d->at_once = 2 - inverse(exponent, integral(exponent, 2.5) - weight(exponent, 2));
}

double draw_unit(struct prng *p)
{
    return ((double)(prng_next(p) >> 11) + 1) * 0x1p-53;
}

uint64_t draw_key(const struct draw *d, struct prng *p)
{
    if (d->exponent <= 0)
        return prng_below(p, d->n_keys);
    for (;;) {
        const double u = d->to + draw_unit(p) * (d->from - d->to);
        const double x = inverse(d->exponent, u);
        double k = floor(x + 0.5);

        if (k < 1)
            k = 1;
        else if (k > (double)d->n_keys)
            k = (double)d->n_keys;
        if (k - x <= d->at_once || u >= integral(d->exponent, k + 0.5) - weight(d->exponent, k))
            return (uint64_t)k - 1;
    }
}

double draw_gap_ns(struct prng *p, double per_s, bool poisson)
{
    return (poisson ? -log(draw_unit(p)) : 1.0) * 1e9 / per_s;
}
