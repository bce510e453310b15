"""Where a run of neighbours ends: by their sizes and a hash of the last one, so that what is added in one place moves no cut
elsewhere."""

import xxhash


def mean_size(total: int, runs: int, smallest: int, largest: int) -> int:
    """Mean size for about so many runs: a power of two within the bounds, which a little more of it all seldom changes."""
    wanted = max(1, total // runs)
    return min(largest, max(smallest, 1 << (wanted.bit_length() - 1)))


def ends_run(identity: str, last: int, size: int, mean: int) -> bool:
    """Whether a run of `size` ends with the item of this identity, of size `last`: by chance in proportion to its size."""
    if size < mean // 2:
        return False
    chance = xxhash.xxh3_64_intdigest(identity.encode("utf-8", "surrogatepass")) / 2**64
    return size >= 2 * mean or chance * mean < last
