/* The names that the parts of libridd share but do not export. An archive hides nothing by itself,
 * and a program that links it may have a buf_add() or a conn_open() of its own; so these begin with
 * ridd_, like all that is exported. The build puts this file in front of every part (subdir.am),
 * and tests/unit/check-libridd names what is missing here. */
#ifndef RIDD_CLIENT_NAMES_INT_H
#define RIDD_CLIENT_NAMES_INT_H

#define buf_add_format      ridd_private_buf_add_format
#define buf_add_str         ridd_private_buf_add_str
#define buf_add_u16         ridd_private_buf_add_u16
#define buf_add_u32         ridd_private_buf_add_u32
#define buf_add_u64         ridd_private_buf_add_u64
#define buf_add_u8          ridd_private_buf_add_u8
#define buf_consume         ridd_private_buf_consume
#define buf_done            ridd_private_buf_done
#define buf_grow            ridd_private_buf_grow
#define buf_init            ridd_private_buf_init
#define buf_reset           ridd_private_buf_reset
#define buf_size_with       ridd_private_buf_size_with
#define call_run            ridd_private_call_run
#define clock_mono_us       ridd_private_clock_mono_us
#define clock_thread_us     ridd_private_clock_thread_us
#define clock_timer_at      ridd_private_clock_timer_at
#define clock_wall_us       ridd_private_clock_wall_us
#define conn_close          ridd_private_conn_close
#define conn_init           ridd_private_conn_init
#define conn_line           ridd_private_conn_line
#define conn_open           ridd_private_conn_open
#define conn_reset_on_close ridd_private_conn_reset_on_close
#define conn_send           ridd_private_conn_send
#define conn_stale          ridd_private_conn_stale
#define endpoint_parse      ridd_private_endpoint_parse
#define endpoint_parse_list ridd_private_endpoint_parse_list
#define lookup_drop         ridd_private_lookup_drop
#define lookup_is_done      ridd_private_lookup_is_done
#define lookup_n_running    ridd_private_lookup_n_running
#define lookup_start        ridd_private_lookup_start
#define lookup_take         ridd_private_lookup_take
#define lookup_wait         ridd_private_lookup_wait
#define reply_fail          ridd_private_reply_fail
#define reply_is_const      ridd_private_reply_is_const
#define reply_make_unknown  ridd_private_reply_make_unknown
#define reply_new           ridd_private_reply_new
#define reply_no_memory     ridd_private_reply_no_memory
#define reply_parse         ridd_private_reply_parse
#define slice_compact       ridd_private_slice_compact
#define slice_member        ridd_private_slice_member
#define slice_next_element  ridd_private_slice_next_element

#endif
