"""A fleet for a program's own calls: `async with Fan(…) as fan`, and what its methods give and raise."""

from llmfan.fan.failed import CallFailed
from llmfan.fan.fleet import Fan
from llmfan.fan.stream import Chunk, Stream

__all__ = ["CallFailed", "Chunk", "Fan", "Stream"]
