"""What each rank would import again: a process that has imported it is forked, where no GPU forbids that.

What is loaded stays until the end, so that no rank's garbage collector need look at it.
"""

import gc

from transformers.models.bert import modeling_bert  # noqa: F401
from transformers.models.gpt2 import modeling_gpt2  # noqa: F401
from transformers.models.llama import modeling_llama  # noqa: F401
from transformers.models.mixtral import modeling_mixtral  # noqa: F401

import irene.measuring.rank_collecting
import irene.tracing.tracer  # noqa: F401
import tests.measuring.fake_ranks  # noqa: F401

gc.freeze()
