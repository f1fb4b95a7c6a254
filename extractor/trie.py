"""Exact probabilities over options of several tokens, from next-token scores at the few places where they part.

Options are paths in a trie of token ids. The probability of an option is the product, over the branchings on its
path, of its token's probability among the tokens allowed there: what greedy or sampled decoding under a grammar
would see, computed for all options at once. Where options do not part, no token is computed.
"""

import math
from collections.abc import Mapping, Sequence

Tokens = tuple[int, ...]


def branchings(options: Sequence[Tokens], end: int) -> dict[Tokens, Tokens]:
    """Map each prefix after which two or more tokens are possible to those tokens.

    `end` follows an option that is itself the beginning of another. Options must differ from each other.
    """
    following: dict[Tokens, dict[int, None]] = {}
    for option in ended(options, end):
        for place, token in enumerate(option):
            following.setdefault(option[:place], {})[token] = None
    return {prefix: tuple(tokens) for prefix, tokens in following.items() if len(tokens) > 1}


def probabilities(
    options: Sequence[Tokens], end: int, logprobs: Mapping[Tokens, Mapping[int, float]]
) -> tuple[float, ...]:
    """Probability of each option, in order, from the log-probability of each token at each branching."""
    logs = [
        sum(logprobs.get(option[:place], {}).get(token, 0.0) for place, token in enumerate(option))
        for option in ended(options, end)
    ]
    top = max(logs)
    weights = [math.exp(log - top) for log in logs]
    total = sum(weights)
    return tuple(weight / total for weight in weights)


def ended(options: Sequence[Tokens], end: int) -> list[Tokens]:
    """Close options that begin another, so that every option is a leaf."""
    begins = {option[:place] for option in options for place in range(len(option))}
    return [(*option, end) if option in begins else option for option in options]
