"""What a call is for, whatever the architecture calls it: attention, feed_forward, norm, embeddings, head or other.

Two architectures share no paths; they share roles. A role comes from the names and types that model authors use, so it
is a convention of reading, not a measurement: what no rule knows is 'other', never dropped.
"""

from __future__ import annotations

import re

from irene.model_tree.graph import FlatTree
from irene.model_tree.tree import Node
from irene.primitives.kinds import kind_of

ROLES = ("attention", "feed_forward", "norm", "embeddings", "head", "other")

# First match wins. `type` is the class of a module, `name` the last part of its path.
_TYPES = (
    ("norm", re.compile(r"Norm")),
    ("attention", re.compile(r"Attention|Attn")),
    ("head", re.compile(r"Pooler$|Head$|Classifier$")),
    ("embeddings", re.compile(r"Embed|PositionalEncoding")),
    (
        "feed_forward",
        re.compile(r"(MLP|Mlp|FFN|FeedForward|LayerFF|ActDense|MoeBlock|MoE|Experts|Router|Intermediate|Output)$"),
    ),
)
_NAMES = (
    ("norm", re.compile(r"norm|^ln_|layernorm", re.IGNORECASE)),
    ("attention", re.compile(r"attn|attention", re.IGNORECASE)),
    ("head", re.compile(r"pooler|lm_head|classifier|^score$|^cls$")),
    ("embeddings", re.compile(r"embed|^wte$|^wpe$|^shared$")),
    ("feed_forward", re.compile(r"mlp|ffn|feed_forward|intermediate|expert|^fc\d$|^lin\d$|^act")),
)


def role_of_module(node: Node) -> str:
    """The role that a module's own type or name says; 'other' if neither does.

    >>> role_of_module(Node("module", "encoder.layer.0.attention.self", "BertSelfAttention"))
    'attention'
    >>> role_of_module(Node("module", "model.layers.3.fc1", "Linear"))
    'feed_forward'
    """
    name = node.path.rpartition(".")[2]
    for rules, text in ((_TYPES, node.type), (_NAMES, name)):
        for role, pattern in rules:
            if pattern.search(text):
                return role
    return "other"


def roles_of_nodes(flat: FlatTree) -> list[str]:
    """The role of each node in walk order: that of the outermost module that has one, but a norm is always a norm."""
    roles: list[str] = []
    for index, node in enumerate(flat.nodes):
        above = roles[flat.parent[index]] if index else "other"
        if node.kind == "primitive":
            assert node.call is not None
            roles.append("norm" if kind_of(node.call) == "norm" else above)
            continue
        own = role_of_module(node) if index else "other"  # the root's class names the architecture, not a part of it
        roles.append(own if above == "other" or own == "norm" else above)
    return roles
