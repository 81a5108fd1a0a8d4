# fish completion of ridctl. What there is to complete ridctl knows itself: this asks it, when Tab is first pressed behind it.
command -q ridctl; and command ridctl completion fish 2>/dev/null | source
