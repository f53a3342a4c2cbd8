"""A chatbot that answers from stored questions and their answers."""

from munjang.chat.calibration import Calibration
from munjang.chat.chatbot import ChatBot
from munjang.chat.turns import Neighbour, Turn
from munjang.data.readers.questions import QuestionAnswer

__all__ = ["Calibration", "ChatBot", "Neighbour", "QuestionAnswer", "Turn"]
