"""An encoder's parameters, LoRA targets and matrix products, as `branches.Encoder` holds it, without the pooler."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from interconnected_ai.errors import ConfigError
from interconnected_ai.planner.checks import require_count
from interconnected_ai.planner.products import Product

Linear = tuple[int, int]  # (d_in, d_out)


@dataclass(frozen=True)
class RelativePositions:
    """DeBERTa's disentangled attention (He et al. 2021): vectors of distances, projected and multiplied in every block.

    num_vectors: how many distances have a vector. num_scores: products of content with position (content → position,
    position → content). shared: the projections are the block's own query and key layers (v3), not further layers.
    """

    num_vectors: int
    num_scores: int
    shared: bool

    @property
    def num_projections(self) -> int:
        """Projections of all the vectors in a block; shared ones are both computed, whether or not a score reads them."""
        return 2 if self.shared else self.num_scores

    @property
    def num_own_linears(self) -> int:
        """Linear layers in a block that only project positions."""
        return 0 if self.shared else self.num_scores


@dataclass(frozen=True)
class EncoderShape:
    """An encoder before it is loaded: its sizes, its parameters, and what one pass multiplies.

    name: what was asked for. max_seq_len: usable positions (RoBERTa and kin lose those up to their padding index).
    num_params: what `branches.Encoder` holds, so without the pooler; published counts are num_params +
    num_pooler_params. num_embedding_params: the tables that are looked up, not multiplied.
    input_linears, inner_linears: the linear layers of one block that read its input (query, key, value) and the others.
    embedding_linear: from narrow embeddings to d_model (ELECTRA). convolution: DeBERTa-v2's, of the embeddings.
    """

    name: str
    model_type: str
    d_model: int
    n_layers: int
    n_heads: int
    d_ff: int
    vocab_size: int
    max_seq_len: int
    num_embedding_params: int
    num_params: int
    num_pooler_params: int
    input_linears: tuple[Linear, ...]
    inner_linears: tuple[Linear, ...]
    embedding_linear: Linear | None = None
    positions: RelativePositions | None = None
    convolution: Linear | None = None

    @property
    def linears(self) -> tuple[Linear, ...]:
        """(d_in, d_out) of every linear layer inside the blocks: those that the shared LoRA wraps."""
        own = self.positions.num_own_linears if self.positions else 0
        return (*self.input_linears, *[(self.d_model, self.d_model)] * own, *self.inner_linears) * self.n_layers

    def lora_linears(self, layers: int | None = None) -> tuple[Linear, ...]:
        """Those of so many last blocks, None is all. Raises `ConfigError` for more than there are."""
        kept = self.n_layers if layers is None else layers
        require_count("encoder_lora_layers", kept)
        if kept > self.n_layers:
            raise ConfigError(
                f"encoder_lora_layers={layers}: the encoder {self.name!r} has {self.n_layers} blocks; take as many or fewer, "
                "or leave it out for all"
            )
        return self.linears[: len(self.linears) // self.n_layers * kept]

    def num_lora_params(self, rank: int, layers: int | None = None) -> int:
        """Parameters of one LoRA of this rank on all `lora_linears`: rank · Σ (d_in + d_out). Rank 0 is none."""
        require_count("lora_rank", rank, least=0)
        return rank * sum(d_in + d_out for d_in, d_out in self.lora_linears(layers)) if rank else 0

    def products(
        self, batch: int, seq: int, *, lora_rank: int = 0, lora_layers: int | None = None
    ) -> tuple[Product, ...]:
        """The matrix products of one pass over `batch` rows of `seq` positions, padding included; equal ones as one.

        Without LoRA nothing learns. With it, its own products ("encoder_lora") are trained, and every product after
        the first adapter passes a gradient on; what comes before is frozen, so nothing that reads it directly does (query, key
        and value of the first block with an adapter; DeBERTa's position vectors in every block; its convolution).
        lora_layers: how many last blocks have adapters, None is all.

        This is what `torch.utils.flop_counter` counts with plain ("eager") attention, forward and backward, matrix
        products and DeBERTa-v2's convolution. It sees nothing of lookups, norms, softmax, activations, biases and
        products with a vector (mv, dot). A fused attention kernel ("sdpa") computes the scores once more in its
        backward: 2.5 times the attention's forward, not 2 times. Of the CPU's fused kernel, which torch takes where
        there is no dropout, it sees nothing. Sliding windows (ModernBERT) count as full attention, since plain and
        "sdpa" attention compute all of it and mask the rest.

        Raises `ConfigError` for more positions than the encoder has.
        """
        require_count("batch", batch)
        require_count("seq", seq)
        require_count("lora_rank", lora_rank, least=0)
        if seq > self.max_seq_len:
            raise ConfigError(
                f"seq={seq}: the encoder {self.name!r} has {self.max_seq_len} positions; cut texts to those"
            )
        first = self.n_layers - (len(self.lora_linears(lora_layers)) * self.n_layers // len(self.linears))
        blocks = (
            product
            for block in range(self.n_layers)
            for product in self._block_products(batch, seq, lora_rank if block >= first else 0, is_first=block == first)
        )
        return _counted_together((*self._products_before_blocks(batch * seq), *blocks))

    def _products_before_blocks(self, num_tokens: int) -> Iterator[Product]:
        """Those that read the embeddings only, whether they run before the blocks or beside the first."""
        for linear in (self.embedding_linear, self.convolution):
            if linear is not None:
                yield Product("encoder", num_tokens, *linear)

    def _block_products(self, batch: int, seq: int, rank: int, *, is_first: bool) -> Iterator[Product]:
        num_tokens, learns = batch * seq, rank > 0
        for linear in self.input_linears:
            yield from _linear_products(linear, num_tokens, rank, input_grad=learns and not is_first)
        if self.positions is not None:
            yield from self._position_products(self.positions, batch, seq, rank)
        head = self.d_model // self.n_heads
        yield _attention(seq, head, seq, batch * self.n_heads, learns)  # scores = query · keyᵀ
        yield _attention(seq, seq, head, batch * self.n_heads, learns)  # scores · value
        for linear in self.inner_linears:
            yield from _linear_products(linear, num_tokens, rank, input_grad=learns)

    def _position_products(self, positions: RelativePositions, batch: int, seq: int, rank: int) -> Iterator[Product]:
        linear = (self.d_model, self.d_model)
        for projection in range(positions.num_projections):
            made = _linear_products(linear, positions.num_vectors, rank, input_grad=False)
            if projection < positions.num_scores:
                yield from made
            else:  # computed and never read: no gradient comes back
                yield from (replace(product, weight="frozen", input_grad=False) for product in made)
        for _ in range(positions.num_scores):
            head = self.d_model // self.n_heads
            yield _attention(seq, head, positions.num_vectors, batch * self.n_heads, rank > 0)


def _linear_products(linear: Linear, rows: int, rank: int, *, input_grad: bool) -> Iterator[Product]:
    """A frozen linear layer and, with a rank, the two products of its adapter."""
    d_in, d_out = linear
    yield Product("encoder", rows, d_in, d_out, input_grad=input_grad)
    if rank:
        yield Product("encoder_lora", rows, d_in, rank, weight="trained", input_grad=input_grad)
        yield Product("encoder_lora", rows, rank, d_out, weight="trained", input_grad=True)


def _attention(rows: int, d_in: int, d_out: int, count: int, learns: bool) -> Product:
    return Product("encoder", rows, d_in, d_out, count, weight="none", input_grad=learns)


def _counted_together(products: Iterable[Product]) -> tuple[Product, ...]:
    """Equal products as one, in the order in which they first appear."""
    times = Counter(products)
    return tuple(replace(product, count=product.count * n) for product, n in times.items())
