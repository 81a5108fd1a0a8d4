# RIDD_REQUIRE_CFLAGS(FLAGS): each flag must be accepted, or configure stops and names it.
AC_DEFUN([RIDD_REQUIRE_CFLAGS], [
for ridd_flag in m4_normalize([$1]); do
    AC_MSG_CHECKING([whether the compiler takes $ridd_flag])
    ridd_saved_cflags=$CFLAGS
    CFLAGS="$CFLAGS -Werror $ridd_flag"
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[]], [[]])],
        [AC_MSG_RESULT([yes])],
        [AC_MSG_RESULT([no])
         AC_MSG_ERROR([the compiler refuses the required flag $ridd_flag])])
    CFLAGS=$ridd_saved_cflags
    RIDD_CFLAGS="$RIDD_CFLAGS $ridd_flag"
done])

# RIDD_REQUIRE_LDFLAGS(FLAGS): the same for the linker.
AC_DEFUN([RIDD_REQUIRE_LDFLAGS], [
for ridd_flag in m4_normalize([$1]); do
    AC_MSG_CHECKING([whether the linker takes $ridd_flag])
    ridd_saved_ldflags=$LDFLAGS
    ridd_saved_cflags=$CFLAGS
    CFLAGS="$CFLAGS -fPIE"
    LDFLAGS="$LDFLAGS $ridd_flag"
    AC_LINK_IFELSE([AC_LANG_PROGRAM([[]], [[]])],
        [AC_MSG_RESULT([yes])],
        [AC_MSG_RESULT([no])
         AC_MSG_ERROR([the linker refuses the required flag $ridd_flag])])
    LDFLAGS=$ridd_saved_ldflags
    CFLAGS=$ridd_saved_cflags
    RIDD_LDFLAGS="$RIDD_LDFLAGS $ridd_flag"
done])

# RIDD_PKG(VARIABLE, PKG-CONFIG MODULE, DEBIAN PACKAGE)
AC_DEFUN([RIDD_PKG], [
PKG_CHECK_MODULES([$1], [$2], [],
    [AC_MSG_ERROR([$2 was not found: apt-get install $3])])])

# RIDD_DIR(VARIABLE, WHAT IT IS FOR, FOLDER): a folder in which other programs look for something, by --with-VARIABLE.
# Empty afterwards: nothing is installed there.
AC_DEFUN([RIDD_DIR], [
AC_ARG_WITH([$1],
    [AS_HELP_STRING([--with-$1=DIR], [where $2 ($3); no: nowhere])],
    [], [with_$1=yes])
AS_CASE([$with_$1], [yes], [$1='$3'], [no], [$1=], [$1=$with_$1])
AC_SUBST([$1])])

# RIDD_SYSTEMD_DIR(VARIABLE, WHAT IT IS FOR, FOLDER): the same for what systemd.pc has a variable of that name for, which
# counts for --prefix=/usr. Below another prefix systemd's own folder is not ours to write to (make distcheck, an install in
# $HOME).
AC_DEFUN([RIDD_SYSTEMD_DIR], [
AC_ARG_WITH([$1],
    [AS_HELP_STRING([--with-$1=DIR], [where $2 (what pkg-config says of systemd for --prefix=/usr, otherwise $3); no: nowhere])],
    [], [with_$1=yes])
AS_CASE([$with_$1],
    [yes], [$1='$3'
        AS_IF([test "x$prefix" = x/usr],
            [PKG_CHECK_VAR([ridd_systemd_$1], [systemd], [$1],
                [AS_IF([test -n "$ridd_systemd_$1"], [$1=$ridd_systemd_$1])])])],
    [no], [$1=],
    [$1=$with_$1])
AC_SUBST([$1])])
