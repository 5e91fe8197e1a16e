"""The records of an agent's transcript: one JSON object a line, with `at` (seconds) and `type`.

- `system`: the thread begins. `message`.
- `user`: something is said to the model. `message`, whose `harness` says what it is: `directive`,
  `research`, `heartbeat`, `reminder` or `notice`. Of an intervention (`heartbeat`) also `rule`,
  `reason`, `action` and `urgent`. Of a question of a `pipeline` agent `stage`, and `before`: the
  messages between the system's and it, when it was asked again.
- `model`: the model in force is another one. `model`, `before` (null at first), `turn`.
- `assistant`: an answer of the model. `message`, `turn`, `finish_reason`, `usage`, `reasoning`
  (what a reasoning model thought, where it is shown), `protocol` (`tools` or `text`), `tries`,
  `duration_s`.
- `tool`: a tool call has ended. `message` (its result), `name`, `arguments` (as the model wrote
  them), `key`, `duration_s`, `repeated` (it may have begun before a restart), `interrupted` (an
  urgent intervention cut it short).
- `compaction`: older turns gave way to a summary. `characters` before and `after`, `messages`
  removed, `trims` (how outputs of tools were cut: operations of `harness.agents.conversation`),
  `summary`, `by` (`model`, `run`, or `none` when outputs were cut only), `why` (`size`,
  `too_long`, `restart`), and `failed` when the model gave none.

`message` is a chat message of the OpenAI API; a `tool` message answers the call of its
`tool_call_id`. Readers skip types and keys they do not know. A step that a kill interrupted may be
there twice.
"""

from typing import Literal

TurnType = Literal["system", "user", "model", "assistant", "tool", "compaction"]
"""Every `type` there is."""
