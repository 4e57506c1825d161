"""Requests of every day, in English and Russian: none of them is about a programming library."""

EVERYDAY_REQUESTS: tuple[str, ...] = tuple(
    line.strip()
    for line in """
What's the weather going to be like tomorrow?
Tell me a joke.
Who was Napoleon?
What is the capital of Portugal?
How do I boil an egg?
Give me a recipe for pancakes.
What should I cook for dinner tonight?
How are you today?
Hello there!
Good morning, nice to meet you.
What is your name?
Thank you, that was helpful.
See you tomorrow.
Write a short poem about autumn.
Tell me a bedtime story about a fox.
How tall is Mount Everest?
When did the Second World War end?
Who painted the Mona Lisa?
What is the speed of light?
Why is the sky blue?
How far is the moon?
What does a whale eat?
How long do cats live?
What is the best breed of dog for a family?
How can I fall asleep faster?
My back hurts, what can I do?
How many calories are in a banana?
Is coffee bad for the heart?
What are the symptoms of flu?
How do I remove a wine stain from a carpet?
How often should I water a cactus?
When should I plant tomatoes?
Which flowers bloom in spring?
How do I change a flat tyre?
How much does a new bicycle cost?
What is a good gift for my mother?
Suggest a name for my puppy.
What is the time difference between Tokyo and London?
Book a table for two at eight o'clock.
Find me a cheap flight to Rome.
What should I pack for a week at the sea?
Which museums are worth seeing in Paris?
Do I need a visa for Japan?
How do I get a new passport?
How do I open a savings account?
What is my account balance?
How does a mortgage work?
Should I rent or buy a flat?
How do I ask my boss for a raise?
Write a letter of complaint to my landlord.
What should I wear to a wedding?
How do I tie a tie?
Who won the football match yesterday?
What are the rules of chess?
How do I learn to swim?
Recommend a film for this evening.
What is the longest novel ever written?
Who wrote War and Peace?
How do I play the guitar?
What year was Mozart born?
Translate good evening into French.
How do you say thank you in Japanese?
What is the meaning of life?
Do you like music?
Are you a human?
What did we talk about yesterday?
What is my cat called?
My name is Anna and I live in Riga.
I have two children and a dog.
Remind me to call my sister on Sunday.
Set an alarm for seven in the morning.
Turn off the lights in the kitchen.
What is on my shopping list?
Add milk and bread to my shopping list.
How do volcanoes form?
What causes earthquakes?
How does a vaccine work?
What is photosynthesis?
How many bones are in the human body?
Who discovered penicillin?
What is the population of India?
Which river is the longest?
What language is spoken in Brazil?
How does an election work?
What is inflation?
Who is the president of France?
How do I get to the railway station?
Where can I park near the theatre?
What time does the supermarket close?
How much do I tip in a restaurant?
Is it safe to eat raw fish?
How do I knit a scarf?
What is a healthy breakfast?
How do I get rid of ants?
How do I clean a washing machine?
Why do leaves fall?
How do birds find their way?
Tell me something interesting about penguins.
What was the first film with sound?
Sing me a song.
Какая завтра будет погода?
Расскажи анекдот.
Кто такой Наполеон?
Какая столица Португалии?
Как сварить яйцо?
Дай рецепт блинов.
Что приготовить на ужин?
Как дела?
Привет!
Доброе утро, приятно познакомиться.
Как тебя зовут?
Спасибо, это помогло.
До завтра.
Напиши короткое стихотворение об осени.
Расскажи сказку про лису.
Какой высоты Эверест?
Когда закончилась Вторая мировая война?
Почему небо голубое?
Сколько живут кошки?
Как быстрее заснуть?
Болит спина, что делать?
Сколько калорий в банане?
Как вывести пятно от вина?
Как часто поливать кактус?
Когда сажать помидоры?
Как поменять колесо у машины?
Что подарить маме?
Придумай имя щенку.
Закажи столик на двоих на восемь.
Найди дешёвый билет до Рима.
Что взять с собой на море?
Нужна ли виза в Японию?
Как получить загранпаспорт?
Сколько денег у меня на счёте?
Как работает ипотека?
Как попросить прибавку к зарплате?
Напиши жалобу в управляющую компанию.
Кто выиграл вчерашний матч?
Какие правила в шахматах?
Посоветуй фильм на вечер.
Кто написал «Войну и мир»?
Переведи «добрый вечер» на французский.
В чём смысл жизни?
Ты человек?
О чём мы говорили вчера?
Как зовут моего кота?
Меня зовут Анна, я живу в Риге.
У меня двое детей и собака.
Напомни позвонить сестре в воскресенье.
Поставь будильник на семь утра.
Как образуются вулканы?
Как работает прививка?
Сколько костей у человека?
Как пройти к вокзалу?
Во сколько закрывается магазин?
Как связать шарф?
Почему опадают листья?
Спой песню.
""".strip().splitlines()
)
