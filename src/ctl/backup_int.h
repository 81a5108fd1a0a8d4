/* `ridctl backup`: what its files share. verb_backup.c takes the words apart and runs ridd to
 * restore; backup_save.c saves; backup_file.c looks at a file. */
#ifndef RIDD_CTL_BACKUP_INT_H
#define RIDD_CTL_BACKUP_INT_H

#include "ctl/ctl_int.h"

/* Exit codes; what failed has been reported. ctl->args: FILE, then perhaps NODE. */
int backup_save(struct ctl *ctl);
/* reads_all: verify; otherwise inspect. */
int backup_look(struct ctl *ctl, bool reads_all);

#endif
