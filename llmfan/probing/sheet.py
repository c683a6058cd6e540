"""The findings of one key while it is asked: one for each model, told as one where something holds for the key."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmfan.probing.findings import Finding
from llmfan.probing.verdict import Verdict, told
from llmfan.records import Reply
from llmfan.settings import KeySettings, ModelSettings


class Sheet:
    """`asked`: each model with its finding. What a provider says is redacted on its way in."""

    def __init__(
        self, key: KeySettings, asked: list[tuple[ModelSettings, Finding]], redact: Callable[[str], str] = str
    ):
        self.key, self.asked, self._redact = key, asked, redact
        self.findings = [finding for _, finding in asked]

    def settle(self, verdict: Verdict, findings: Sequence[Finding] | None = None) -> None:
        """Of these findings, or of all; the first word stands."""
        for finding in self.findings if findings is None else findings:
            if not finding.state:
                finding.why, finding.until = self.clean(verdict.why), verdict.until
                finding.state, finding.doing = verdict.state, ""

    def is_known(self) -> bool:
        return all(finding.state for finding in self.findings)

    def doing(self, what: str) -> None:
        for finding in self.findings:
            finding.doing = "" if finding.state else what

    def took(self, reply: Reply, findings: Sequence[Finding] | None = None) -> None:
        """How long an answer took; one that never came took nothing that means anything."""
        for finding in self.findings if findings is None else findings:
            if reply.status and not finding.state:
                finding.latencies.append(reply.ended - reply.sent)

    def clean(self, text: str) -> str:
        return told(text, self._redact)
