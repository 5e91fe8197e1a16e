"""The `pipeline` agent: plan, code, review, check, submit, analyse; no tool calling needed."""
