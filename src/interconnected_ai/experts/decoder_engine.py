"""The engine that any decoder makes: the generation loop over decoders of its own."""

from abc import abstractmethod

from interconnected_ai.experts.asked import Asked
from interconnected_ai.experts.decoder import Decoder
from interconnected_ai.experts.engine import Engine, Steps
from interconnected_ai.experts.generation import generation_steps


class DecoderEngine(Engine):
    """Continues prompts with decoders, so it serves every setting."""

    @abstractmethod
    def decoder(self) -> Decoder:
        """A decoder of its own for one generation; all of an engine's share the weights. Raises `EngineError` once closed."""

    def _refuse(self, asked: Asked) -> None:
        """Nothing is refused: the loop serves every setting."""

    def _steps(self, asked: Asked) -> Steps:
        return generation_steps(self.decoder(), asked)
