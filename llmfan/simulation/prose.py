"""Made-up answers: plausible words, drawn by the request's content, so that the same question gets the same text."""

from __future__ import annotations

_VOCABULARY = (
    "the a this each one most some another about after along because before between beyond during either enough every "
    "first given large later less likely many more much never next often only other part perhaps point quite rather "
    "result second several small still such sum therefore third total under until usually value very while answer "
    "begins brings builds carries changes comes covers depends divides equals explains falls follows gives goes grows "
    "holds keeps leads leaves makes means moves needs opens passes points reaches reads remains returns rises runs "
    "says seems shows stands starts stays stops takes tells tends turns varies waits works writes bridge case chart "
    "city clock cloud coast colour cost count day distance door edge engine example field figure floor garden group "
    "half harbour height hour house idea island kind lamp letter level light line list machine map market measure "
    "method minute model month morning mountain number order page paper path pattern people picture piece place plan "
    "price problem question rate reason river road room route rule scale season shape side signal size speed station "
    "step stone story street table task team test thing time town train tree unit village wall water way week weight "
    "wind window word world year"
)


class Prose:
    """Writes texts of plain ASCII words, which need no escaping anywhere."""

    def __init__(self) -> None:
        self._words = _VOCABULARY.split()

    def words(self, seed: int, count: int) -> list[str]:
        """`count` pieces of text, each but the first with the space before it, in sentences of 8 to 15 words."""
        found = []
        state, left, fresh = seed & 0x7FFFFFFF, 8 + seed % 8, True
        for n in range(count):
            state = (state * 1103515245 + 12345) & 0x7FFFFFFF
            word = self._words[(state >> 8) % len(self._words)]
            left -= 1
            if fresh:
                word = word.capitalize()
            fresh = left <= 0
            if fresh:
                word, left = word + ".", 8 + (state >> 16) % 8
            found.append(f" {word}" if n else word)
        return found
