"""Facts as people say them in chats, by kinds of grammar: contrasts, what had to be done, impersonal clauses, kin."""

import pytest

from interconnected_ai.memory.fact_rules import statements

STATED = {
    # towns, pensions and old jobs
    "Работаю в Питере": [],
    "Работаю в Питере на стройке прорабом": ["works as: прорабом", "works at: стройке"],
    "вышла на пенсию": ["works as: пенсию"],
    "пенсия у мамы маленькая": [],
    "вернулся обратно в банк": ["works at: банк"],
    "перешла из Яндекса в Тинькофф": ["works at: Тинькофф", "-works at: Яндекса"],
    "вернулся в Самару": ["lives in: Самару"],
    "тёща переехала к нам из Пензы": ["-тёща lives in: Пензы"],
    # what had to be done, and kin and pets that a clause begins with
    "пришлось отдать собаку в добрые руки": ["-has: собаку"],
    "кота в итоге пришлось отдать": ["-has: кота"],
    "пришлось отдать последние деньги": [],
    "усыпил ребёнка наконец": [],
    "брат отдал мне свой велосипед": ["has: велосипед"],
    "мне на др муж подарил скрипку": ["has: скрипку"],
    "завели попугая, назвали Кеша": ["has: попугая", "попугай is called: Кеша"],
    # the cause before the illness, medicines, doctors' words
    "от кошек у меня жуткая аллергия": ["allergic to: кошек"],
    "у меня от твоих шуток аллергия": [],
    "пью метформин и аторвастатин": ["takes: метформин и аторвастатин"],
    "пью чай с лимоном": [],
    "врач прописал лизиноприл": ["takes: лизиноприл"],
    "врач выписал меня из больницы": [],
    "мне нельзя опаздывать": [],
    "у дедушки деменция": ["дедушка illness: деменция"],
    # a past that is over
    "Ездил на ладе, теперь взял киа": ["has: киа", "-has: ладе"],
    "до пандемии работал гидом": ["-works as: гидом"],
    "работал весь день, теперь сплю": [],
    "я уже полгода как не курю": ["-smokes: курить"],
    # ages in words, introductions
    "брату двадцать пять": ["брат age: двадцать пять"],
    "маме в августе семьдесят исполняется": ["мама age: семьдесят"],
    "Настя, 27, маркетолог": ["name: Настя", "age: 27", "works as: маркетолог"],
    "Олег, приятно познакомиться": ["name: Олег"],
    "просто обожаю осень": ["likes: осень"],
    # English
    "moved down to Brighton in June": ["lives in: Brighton"],
    "we're in Stockport now": ["lives in: Stockport"],
    "we're in London now, just for the weekend": [],
    "been in Berlin since 2017": ["lives in: Berlin"],
    "had to sell the boat": ["-has: boat"],
    "had to move the car": [],
    "packed in my job at Tesco": ["-works at: Tesco"],
    "packed in like sardines": [],
    "worked as a chef for years, now I paint": ["-works as: chef", "hobby: paint"],
    "my other half's a paramedic": ["partner works as: paramedic"],
    "they've put me on statins": ["takes: statins"],
    "they put me on hold": [],
    "spiders freak me out": ["afraid of: spiders"],
    "can't get enough of true crime podcasts": ["likes: true crime podcasts"],
    "haven't eaten pork in years": ["does not eat: pork"],
    "Nas, 27, into old comedies": ["name: Nas", "age: 27", "likes: old comedies"],
    "34, 35, 36 and still counting": [],
    "just had a baby boy, we called him Otis": ["has: baby boy", "baby is called: Otis"],
    "and she goes: I've got three kids": [],
    "my nan still sings in a choir": ["nan hobby: choir"],
    "took voluntary redundancy": ["-works at: redundancy"],
}


@pytest.mark.parametrize("said", STATED)
def test_sentences_of_chats_state_what_a_careful_reader_would_keep(said: str) -> None:
    found = [f"{'-' if one.ends else ''}{one.relation}: {one.value}" for one in statements(said, "user")]
    assert sorted(found) == sorted(STATED[said])
