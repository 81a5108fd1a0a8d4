/* Exit codes of ridd, as in DESIGN.md 7 and ridd(8). */
#ifndef RIDD_NODE_EXIT_CODES_H
#define RIDD_NODE_EXIT_CODES_H

#define EXIT_USAGE_ERROR 64
#define EXIT_DAMAGED     65
#define EXIT_IO_ERROR    74
#define EXIT_CONF_ERROR  78

#endif
