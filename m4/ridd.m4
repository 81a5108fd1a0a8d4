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
