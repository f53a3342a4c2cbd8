"""Readers of texts with two entities and their relation."""

from __future__ import annotations

from munjang.data.examples import RelationExample, Span
from munjang.data.records import Entry
from munjang.data.tables import FilePath, check_offset, json_entries

# KLUE-RE (arXiv:2105.09680, section 3.5): its relations, numbered as in the published data, and the types of
# its entities.
KLUE_RE_LABELS = (
    "no_relation",
    "org:dissolved",
    "org:founded",
    "org:place_of_headquarters",
    "org:alternate_names",
    "org:member_of",
    "org:members",
    "org:political/religious_affiliation",
    "org:product",
    "org:founded_by",
    "org:top_members/employees",
    "org:number_of_employees/members",
    "per:date_of_birth",
    "per:date_of_death",
    "per:place_of_birth",
    "per:place_of_death",
    "per:place_of_residence",
    "per:origin",
    "per:employee_of",
    "per:schools_attended",
    "per:alternate_names",
    "per:parents",
    "per:children",
    "per:siblings",
    "per:spouse",
    "per:other_family",
    "per:colleagues",
    "per:product",
    "per:religion",
    "per:title",
)
_LAYOUT = "relations come as JSON Lines or a JSON list, as those of KLUE-RE"
KLUE_RE_SUBJECT_TYPES = ("PER", "ORG")
KLUE_RE_OBJECT_TYPES = ("PER", "ORG", "LOC", "DAT", "POH", "NOH")


def read_relations(path: FilePath, *, encoding: str = "utf-8") -> list[RelationExample]:
    """Read relations from JSON Lines or a JSON list, in either of two layouts.

    KLUE-RE (arXiv:2105.09680): ``sentence``, ``subject_entity`` and ``object_entity`` with ``word``,
    ``start_idx``, ``end_idx`` (the last character) and ``type``, and ``label``, a name or KLUE's number.
    Or ``{"text": ..., "subject": [start, end, type], "object": [...], "label": ...}``, where the end is
    behind the last character and the type may be missing.

    Raises `DataFileError`, with the line or the number of the entry, for anything else, for offsets that are
    outside the text, overlap or do not match the word, and for an empty label; and `InputError` for an
    unknown encoding.
    """
    return [
        _klue(entry) if "subject_entity" in entry.values else _plain(entry)
        for entry in json_entries(path, encoding, _LAYOUT)
    ]


def _klue(entry: Entry) -> RelationExample:
    text = entry.text("sentence")
    subject, object_ = (_klue_span(entry, key, text) for key in ("subject_entity", "object_entity"))
    label = entry.value("label")
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    if isinstance(label, int) and not isinstance(label, bool):
        if not 0 <= label < len(KLUE_RE_LABELS):
            raise entry.error(
                f"'label' is {label}; KLUE-RE numbers its labels 0 to {len(KLUE_RE_LABELS) - 1}."
            )
        return _checked(entry, RelationExample(text, subject, object_, KLUE_RE_LABELS[label]))
    return _checked(entry, RelationExample(text, subject, object_, entry.label("label")))


def _plain(entry: Entry) -> RelationExample:
    text = entry.text("text")
    subject, object_ = (_plain_span(entry, key, text) for key in ("subject", "object"))
    return _checked(entry, RelationExample(text, subject, object_, entry.label("label")))


def _klue_span(entry: Entry, key: str, text: str) -> Span:
    values = entry.as_object(entry.value(key), f"'{key}'")
    entity = Entry(entry.file, f"{entry.position}, '{key}'", values)
    word = entity.text("word")
    start, last = (entity.as_offset(entity.value(name), f"'{name}'") for name in ("start_idx", "end_idx"))
    check_offset(entity, "the word", word, start, text)
    if last + 1 - start != len(word):
        raise entity.error(
            f"'start_idx' {start} and 'end_idx' {last} hold {last + 1 - start} characters, "
            f"but the word {word!r:.60} has {len(word)}."
        )
    return start, last + 1, entity.text("type")


def _plain_span(entry: Entry, key: str, text: str) -> Span:
    values = entry.value(key)
    start, end = entry.as_span(values, f"'{key}'", text)
    if len(values) > 3:
        raise entry.error(f"'{key}' has {len(values)} parts, not [start, end, type].")
    return (
        (start, end, entry.as_text(values[2], f"the type of '{key}'")) if len(values) == 3 else (start, end)
    )


def _checked(entry: Entry, example: RelationExample) -> RelationExample:
    subject, object_ = example.subject, example.object
    if max(subject[0], object_[0]) < min(subject[1], object_[1]):
        raise entry.error(f"the subject {list(subject[:2])} and the object {list(object_[:2])} overlap.")
    return example
