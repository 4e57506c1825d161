"""What people say next about the same thing without saying what it is about: a half to choose by, and one to report."""

CHOOSING, REPORTED = 0, 1


def follow_ups(language: str, half: int) -> list[str]:
    """The sentences of one half, in "English" or "Russian"."""
    return [line.strip() for line in _TEXTS[language][half].splitlines() if line.strip()]


_TEXTS = {
    "English": (
        """
and in Python 2?
and if it is empty?
what about negative numbers?
how does that work?
can you show me an example?
why is that?
and the other way round?
is there a faster way to do this?
what if I have two of them?
do it again please
does it also work on Windows?
how long will it take?
and for tomorrow?
how about next week?
what does the second argument mean?
can I change it later?
is that all?
could you explain the last step?
make it shorter
which of these is better?
what happens if it fails?
and how much does it cost?
i meant the other one
no, not that one
tell me more
so what should i do first?
are there any exceptions to that?
what was the first one again?
why not?
and without a loop?
does the order matter?
can you say it more simply?
is it safe?
give me another one
what else can it do?
ok and then?
how do I undo that?
and with a different name?
where do i find this?
what is the default?
""",
        """
and in the evening?
what would happen without it?
how many of them are there?
but is this allowed?
can you repeat that?
is there an alternative to it?
and for three people?
what about the older version?
could it be any cheaper?
and what does it return then?
how do i turn it off?
i don't understand this part
please rewrite it with a list
is this the only way?
what are the drawbacks?
and if there are several?
who decides that?
then what?
how often should I do that?
can you be more specific?
also on Linux?
why does it need two?
does that include weekends?
what about my sister?
now do the same in one line
and the day after?
can they do it for me?
what's the difference between them?
is it still valid?
and back again?
how would i test that?
can you double check that?
show me the code
what is the third parameter for?
sounds good, what next?
really?
when will it be ready?
and if I am abroad?
do I have to pay for it?
can it be done offline?
""",
    ),
    "Russian": (
        """
а если пусто?
а в Python 2?
и как это работает?
почему так?
можно пример?
а наоборот?
есть способ быстрее?
а если их два?
повтори ещё раз
а на Windows это тоже работает?
сколько это займёт?
а завтра?
как насчёт следующей недели?
что значит второй аргумент?
это можно потом изменить?
и это всё?
объясни последний шаг
сделай покороче
какой из них лучше?
что будет, если не получится?
и сколько это стоит?
нет, я про другой
не этот
расскажи подробнее
так с чего начать?
бывают ли исключения из этого?
какой был первый?
почему нет?
а без цикла?
порядок важен?
можешь сказать проще?
это безопасно?
дай другой вариант
что ещё он умеет?
хорошо, а потом?
как это отменить?
а с другим именем?
где это найти?
какое значение по умолчанию?
а для отрицательных чисел?
""",
        """
а вечером?
что будет без него?
сколько их всего?
но так можно?
можешь повторить?
есть ли этому замена?
а на троих?
а в старой версии?
а дешевле нельзя?
и что она тогда вернёт?
как это выключить?
я не понял эту часть
перепиши это со списком
это единственный способ?
какие у этого минусы?
а если их несколько?
кто это решает?
и что дальше?
как часто это делать?
можно конкретнее?
на Linux тоже?
зачем ему два?
выходные тоже входят?
а моей сестре?
теперь то же самое в одну строку
а послезавтра?
они могут сделать это за меня?
чем они отличаются?
это ещё действует?
а обратно?
как это проверить?
проверь это ещё раз
покажи код
для чего третий параметр?
отлично, что теперь?
правда?
когда он будет готов?
а если я за границей?
за это надо платить?
а без интернета получится?
""",
    ),
}
