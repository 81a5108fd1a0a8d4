/* Functions that have a safer neighbour are compile errors.
 *
 * For: every .c file of src, included last, so that headers of the system may use them.
 * Not for: headers.
 * Errors: at compile time, with the name of the function in the message.
 * Source: the idea of git's banned.h.
 * Obvious: units, ownership, thread. */
#ifndef RIDD_BASE_BANNED_H
#define RIDD_BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#undef strcpy
#define strcpy(x, y) ridd_strcpy_is_banned_use_snprintf
#undef strcat
#define strcat(x, y) ridd_strcat_is_banned_use_snprintf
#undef strncpy
#define strncpy(x, y, n) ridd_strncpy_is_banned_use_snprintf
#undef strncat
#define strncat(x, y, n) ridd_strncat_is_banned_use_snprintf
#undef strtok
#define strtok(x, y) ridd_strtok_is_banned_use_strtok_r
#undef sprintf
#define sprintf(...) ridd_sprintf_is_banned_use_snprintf
#undef vsprintf
#define vsprintf(...) ridd_vsprintf_is_banned_use_vsnprintf
#undef atoi
#define atoi(x) ridd_atoi_is_banned_use_strtol
#undef atol
#define atol(x) ridd_atol_is_banned_use_strtol
#undef gmtime
#define gmtime(t) ridd_gmtime_is_banned_use_gmtime_r
#undef localtime
#define localtime(t) ridd_localtime_is_banned_use_localtime_r
#undef ctime
#define ctime(t) ridd_ctime_is_banned_use_strftime
#undef asctime
#define asctime(t) ridd_asctime_is_banned_use_strftime

#endif
