/* Names, so that requests, metrics and documents have the same ones. */
#include "service/stages.h"

#include "base/banned.h"

const char *service_op_name(enum service_op op)
{
    static const char *const names[] = {
#define SERVICE_OP_TEXT(name, text) text,
        SERVICE_OPS(SERVICE_OP_TEXT)
#undef SERVICE_OP_TEXT
    };

    return names[op];
}

const char *service_stage_name(enum service_stage stage)
{
    static const char *const names[] = {
#define SERVICE_STAGE_TEXT(name, text) text,
        SERVICE_STAGES(SERVICE_STAGE_TEXT)
#undef SERVICE_STAGE_TEXT
    };

    return names[stage];
}
