"""What the bytes of a run are for."""

from enum import Enum


class Component(Enum):
    """An owner of bytes; the value is its word in records and figures."""

    POLICY_WEIGHTS = "policy weights"
    POLICY_GRADIENTS = "policy gradients"
    POLICY_OPTIMIZER = "policy optimizer"
    CRITIC_WEIGHTS = "critic weights"
    CRITIC_GRADIENTS = "critic gradients"
    CRITIC_OPTIMIZER = "critic optimizer"
    REFERENCE = "reference"  # every frozen copy of the policy
    REWARD_MODEL = "reward model"
    KV_CACHE = "KV cache"
    ACTIVATIONS = "activations"  # made by a model's forward pass or by a backward pass
    LOGITS = "logits and loss"
    OTHER = "other"
