"""What people want to know about sentences, one file per task; `munjang.pipeline` opens them by name."""
