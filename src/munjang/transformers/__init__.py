"""The names that lessons import from `transformers`, over what this package computes.

``from transformers import BertForMaskedLM, BertTokenizer`` becomes ``from munjang.transformers import ...``,
and the rest of a lesson stays as it is. All tokenizer classes are one, as files say what a tokenizer does.
The class of a model names the head that is opened. ``docs/migration.md`` lists what differs.
"""

from munjang.models.registry import (
    CAUSAL_LM,
    MASKED_LM,
    NEXT_SENTENCE,
    QUESTION_ANSWERING,
    SEQUENCE_CLASSIFICATION,
    TOKEN_CLASSIFICATION,
)
from munjang.transformers.models import AutoConfig, PreTrainedModel, model_class
from munjang.transformers.pipelines import (
    FeatureExtractionPipeline,
    FillMaskPipeline,
    QuestionAnsweringPipeline,
    TextClassificationPipeline,
    TextGenerationPipeline,
    TokenClassificationPipeline,
    ZeroShotClassificationPipeline,
    pipeline,
    set_seed,
)
from munjang.transformers.tokenizers import AutoTokenizer, BatchEncoding

__all__ = [
    "AutoConfig",
    "AutoModel",
    "AutoModelForCausalLM",
    "AutoModelForMaskedLM",
    "AutoModelForNextSentencePrediction",
    "AutoModelForQuestionAnswering",
    "AutoModelForSequenceClassification",
    "AutoModelForTokenClassification",
    "AutoTokenizer",
    "BatchEncoding",
    "BertForMaskedLM",
    "BertForNextSentencePrediction",
    "BertForQuestionAnswering",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertModel",
    "BertTokenizer",
    "BertTokenizerFast",
    "DistilBertForMaskedLM",
    "DistilBertForQuestionAnswering",
    "DistilBertForSequenceClassification",
    "DistilBertForTokenClassification",
    "DistilBertModel",
    "DistilBertTokenizer",
    "DistilBertTokenizerFast",
    "ElectraForMaskedLM",
    "ElectraForQuestionAnswering",
    "ElectraForSequenceClassification",
    "ElectraForTokenClassification",
    "ElectraModel",
    "ElectraTokenizer",
    "ElectraTokenizerFast",
    "FeatureExtractionPipeline",
    "FillMaskPipeline",
    "GPT2LMHeadModel",
    "GPT2Model",
    "GPT2Tokenizer",
    "GPT2TokenizerFast",
    "PreTrainedModel",
    "PreTrainedTokenizerFast",
    "QuestionAnsweringPipeline",
    "RobertaForMaskedLM",
    "RobertaForQuestionAnswering",
    "RobertaForSequenceClassification",
    "RobertaForTokenClassification",
    "RobertaModel",
    "RobertaTokenizer",
    "RobertaTokenizerFast",
    "TFAutoModel",
    "TFBertForMaskedLM",
    "TFBertForNextSentencePrediction",
    "TFBertForQuestionAnswering",
    "TFBertForSequenceClassification",
    "TFBertForTokenClassification",
    "TFBertModel",
    "TFGPT2LMHeadModel",
    "TextClassificationPipeline",
    "TextGenerationPipeline",
    "TokenClassificationPipeline",
    "XLMRobertaForMaskedLM",
    "XLMRobertaForQuestionAnswering",
    "XLMRobertaForSequenceClassification",
    "XLMRobertaForTokenClassification",
    "XLMRobertaModel",
    "XLMRobertaTokenizer",
    "XLMRobertaTokenizerFast",
    "ZeroShotClassificationPipeline",
    "pipeline",
    "set_seed",
]

BertTokenizer = BertTokenizerFast = AutoTokenizer
ElectraTokenizer = ElectraTokenizerFast = AutoTokenizer
DistilBertTokenizer = DistilBertTokenizerFast = AutoTokenizer
RobertaTokenizer = RobertaTokenizerFast = AutoTokenizer
XLMRobertaTokenizer = XLMRobertaTokenizerFast = AutoTokenizer
GPT2Tokenizer = GPT2TokenizerFast = AutoTokenizer
PreTrainedTokenizerFast = AutoTokenizer

# A model of any family
AutoModel = model_class(None)
AutoModelForMaskedLM = model_class(MASKED_LM)
AutoModelForNextSentencePrediction = model_class(NEXT_SENTENCE)
AutoModelForSequenceClassification = model_class(SEQUENCE_CLASSIFICATION)
AutoModelForTokenClassification = model_class(TOKEN_CLASSIFICATION)
AutoModelForQuestionAnswering = model_class(QUESTION_ANSWERING)
AutoModelForCausalLM = model_class(CAUSAL_LM)

BertModel = model_class(None, "bert")
BertForMaskedLM = model_class(MASKED_LM, "bert")
BertForNextSentencePrediction = model_class(NEXT_SENTENCE, "bert")
BertForSequenceClassification = model_class(SEQUENCE_CLASSIFICATION, "bert")
BertForTokenClassification = model_class(TOKEN_CLASSIFICATION, "bert")
BertForQuestionAnswering = model_class(QUESTION_ANSWERING, "bert")

RobertaModel = model_class(None, "roberta")
RobertaForMaskedLM = model_class(MASKED_LM, "roberta")
RobertaForSequenceClassification = model_class(SEQUENCE_CLASSIFICATION, "roberta")
RobertaForTokenClassification = model_class(TOKEN_CLASSIFICATION, "roberta")
RobertaForQuestionAnswering = model_class(QUESTION_ANSWERING, "roberta")

XLMRobertaModel = model_class(None, "xlm-roberta")
XLMRobertaForMaskedLM = model_class(MASKED_LM, "xlm-roberta")
XLMRobertaForSequenceClassification = model_class(SEQUENCE_CLASSIFICATION, "xlm-roberta")
XLMRobertaForTokenClassification = model_class(TOKEN_CLASSIFICATION, "xlm-roberta")
XLMRobertaForQuestionAnswering = model_class(QUESTION_ANSWERING, "xlm-roberta")

ElectraModel = model_class(None, "electra")
ElectraForMaskedLM = model_class(MASKED_LM, "electra")
ElectraForSequenceClassification = model_class(SEQUENCE_CLASSIFICATION, "electra")
ElectraForTokenClassification = model_class(TOKEN_CLASSIFICATION, "electra")
ElectraForQuestionAnswering = model_class(QUESTION_ANSWERING, "electra")

DistilBertModel = model_class(None, "distilbert")
DistilBertForMaskedLM = model_class(MASKED_LM, "distilbert")
DistilBertForSequenceClassification = model_class(SEQUENCE_CLASSIFICATION, "distilbert")
DistilBertForTokenClassification = model_class(TOKEN_CLASSIFICATION, "distilbert")
DistilBertForQuestionAnswering = model_class(QUESTION_ANSWERING, "distilbert")

GPT2Model = model_class(None, "gpt2")
GPT2LMHeadModel = model_class(CAUSAL_LM, "gpt2")

# What lessons with TensorFlow call them
TFBertModel = BertModel
TFBertForMaskedLM = BertForMaskedLM
TFBertForNextSentencePrediction = BertForNextSentencePrediction
TFBertForSequenceClassification = BertForSequenceClassification
TFBertForTokenClassification = BertForTokenClassification
TFBertForQuestionAnswering = BertForQuestionAnswering
TFGPT2LMHeadModel = GPT2LMHeadModel
TFAutoModel = AutoModel
