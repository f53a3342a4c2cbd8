"""The three executors: each implements `munjang.models.ops.Ops` over its own arrays."""
