"""The decoder. `CustomLanguageModel(LLMConfig(...))`; import it from `groundup.model.decoder`, which needs torch."""

from groundup.model.configuration import LLMConfig

__all__ = ["LLMConfig"]
