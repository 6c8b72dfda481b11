"""A stack of bits: asymmetric numeral systems over integer tables.

Duda (2009), https://arxiv.org/abs/0902.0271, as implemented by `constriction`
(Bamler, 2022, https://arxiv.org/abs/2201.01741).
"""

from typing import Any

import numpy as np

from aezoo.errors import CompressionError
from aezoo.utils.extras import require

Array = np.ndarray
# Log2 of what the frequencies of one symbol's table sum to.
TOTAL_BITS = 24


class Stack:
    """Symbols are pushed and popped, last in, first out; each costs its information.

    Tables are frequencies as `arithmetic.counts_of` makes them: integers that sum to
    `2**TOTAL_BITS` less the number of symbols. `constriction` adds one to each, and
    rescales by a factor of exactly 1, so that the table it uses is this very one.

    Args:
        words: Bits to start from, uint32, the top last.

    Raises:
        CompressionError: If no stack ends in such words.
        MissingDependencyError: If `constriction` is not installed.
    """

    def __init__(self, words: Array) -> None:
        stream = require("constriction", "compression", "Entropy coding").stream
        self._models = stream.model
        self._tables = self._models.Categorical(perfect=False)
        # a copy in native byte order
        try:
            self._coder = stream.stack.AnsCoder(np.array(words, "uint32"))
        except ValueError as error:
            raise CompressionError(
                f"The bytes hold no stack of `aezoo.compress`: {error}."
            ) from error
        self._lowest = self._coder.num_words()

    def push(self, symbols: Array, counts: Array) -> None:
        """Push symbols `(n,)` under tables `(n, symbols)`; the first ends on top."""
        self._coder.encode_reverse(
            np.ascontiguousarray(symbols, "int32"), self._tables, _rows(counts)
        )

    def pop(self, counts: Array) -> Array:
        """Pop a symbol for each of the tables `(n, symbols)`: int32, `(n,)`."""
        symbols = self._coder.decode(self._tables, _rows(counts))
        self._lowest = min(self._lowest, self._coder.num_words())
        return np.asarray(symbols)

    def push_alike(self, symbols: Array, counts: Array) -> None:
        """As `push`, of symbols that all have the table `(symbols,)`."""
        symbols = np.ascontiguousarray(symbols, "int32")
        self._coder.encode_reverse(symbols, self._table(counts))

    def pop_alike(self, n: int, counts: Array) -> Array:
        """Pop `n` symbols that all have the table `(symbols,)`: int32, `(n,)`."""
        symbols = self._coder.decode(self._table(counts), n)
        self._lowest = min(self._lowest, self._coder.num_words())
        return np.asarray(symbols)

    def _table(self, counts: Array) -> Any:
        return self._models.Categorical(_rows(counts), perfect=False)

    def push_uniform(self, symbols: Array, bits: int) -> None:
        """Push symbols `(n,)` of `2**bits` equally probable ones."""
        symbols = np.ascontiguousarray(symbols, "int32")
        self._coder.encode_reverse(symbols, self._models.Uniform(1 << bits))

    def pop_uniform(self, n: int, bits: int) -> Array:
        """Pop `n` symbols of `2**bits` equally probable ones: int32, `(n,)`."""
        symbols = self._coder.decode(self._models.Uniform(1 << bits), n)
        self._lowest = min(self._lowest, self._coder.num_words())
        return np.asarray(symbols)

    def words(self) -> Array:
        """What is on the stack, without the start that was never reached: uint32."""
        unused = max(0, self._lowest - 3)
        return np.asarray(self._coder.get_compressed())[unused:]


def _rows(counts: Array) -> Any:
    return np.ascontiguousarray(counts, "float32")
