/**
 * English and Chinese: which of the two is spoken, and how a view gets its words.
 *
 * Each folder of views has one `messages.ts`, a table of both languages with the same keys:
 *
 *     const en = { title: 'Runs', left: '{time} left' };
 *     export const messages: MessageTable<keyof typeof en> = { en, zh: { … } };
 *
 *     const say = useWords(messages);   // in a view
 *     say('left', { time: '3 min' });
 */
import { type Context, createContext } from 'preact';
import { useContext } from 'preact/hooks';

export type Language = 'en' | 'zh';

export const LANGUAGES: readonly Language[] = ['en', 'zh'];

export type MessageTable<Key extends string> = Readonly<
  Record<Language, Readonly<Record<Key, string>>>
>;

export type MessageValues = Readonly<Record<string, string | number>>;

export type Words<Key extends string> = (key: Key, values?: MessageValues) => string;

/** What was chosen before, or else the first language of the reader's list that we speak. */
export function chooseLanguage(stored: string | undefined, preferred: readonly string[]): Language {
  if (stored === 'en' || stored === 'zh') return stored;
  for (const tag of preferred) {
    const language = LANGUAGES.find((each) => tag.toLowerCase().split('-')[0] === each);
    if (language !== undefined) return language;
  }
  return 'en';
}

/** Words of one language; `{name}` in a message becomes the value of that name. */
export function wordsOf<Key extends string>(
  table: MessageTable<Key>,
  language: Language,
): Words<Key> {
  return (key, values = {}) => fillIn(table[language][key], values);
}

/** A name without a value stays as it is written, which a reader sees and a test finds. */
export function fillIn(message: string, values: MessageValues): string {
  return message.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/** For the `lang` attribute and for Intl. */
export function localeOf(language: Language): string {
  return language === 'zh' ? 'zh-CN' : 'en';
}

export const LanguageContext: Context<Language> = createContext<Language>('en');

export function useLanguage(): Language {
  return useContext(LanguageContext);
}

export function useWords<Key extends string>(table: MessageTable<Key>): Words<Key> {
  return wordsOf(table, useContext(LanguageContext));
}
