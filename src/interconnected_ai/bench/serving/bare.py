"""The same expert behind one route of FastAPI and nothing else: what a request has to take, whoever serves it."""

import json
import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from interconnected_ai.config import ServingConfig
from interconnected_ai.experts import BatchLimits, open_expert
from interconnected_ai.serving import address_of, listening_socket


class Asked(BaseModel):
    """A text and how much is to follow it."""

    model: str
    prompt: str
    max_tokens: int
    temperature: float


def main(folder: str) -> None:
    """Serve the expert of this folder until a signal."""
    config = ServingConfig(port=0)
    listening, app = listening_socket(config), FastAPI()
    with open_expert(folder, batching=BatchLimits()) as expert:

        @app.post("/v1/completions")
        def write(asked: Asked) -> dict[str, str]:
            made = expert.generate(asked.prompt, max_new_tokens=asked.max_tokens, temperature=asked.temperature)
            return {"text": str(made)}

        print(json.dumps({"address": address_of(config, listening)}), flush=True)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, http="h11", ws="none"))
        server.run([listening])


if __name__ == "__main__":
    main(sys.argv[1])
