"""Tasks of BERT and GPT models, one file or package per task; `munjang.pipeline` opens them by name."""
