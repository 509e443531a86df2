/**
 * The frame around every view: the tabs, the switches for language and theme, the list of keys, and
 * the view that the address names. The shell holds the route, the language and the theme; a view
 * gets its parameters and says how they change.
 */
import type { JSX } from 'preact';
import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { commandOf, takesText } from './keyboard.ts';
import { KeyList } from './keyList.tsx';
import {
  chooseLanguage,
  LANGUAGES,
  type Language,
  LanguageContext,
  localeOf,
  useWords,
  wordsOf,
} from './language.ts';
import { messages } from './messages.ts';
import {
  changeParameters,
  formatRoute,
  type ParameterChanges,
  parseRoute,
  type Route,
  VIEWS,
  type ViewName,
} from './router.ts';
import { readStored, writeStored } from './stored.ts';
import { chooseTheme, shownTheme, THEME_CHOICES, type ThemeChoice, ThemeContext } from './theme.ts';
import { VIEW_MODULES, type ViewModule } from './views.ts';

export function Shell(): JSX.Element {
  const { route, setParameters } = useRoute();
  const [language, setLanguage] = useState<Language>(() =>
    chooseLanguage(readStored('language'), navigator.languages),
  );
  const [choice, setChoice] = useState<ThemeChoice>(() => chooseTheme(readStored('theme')));
  const theme = shownTheme(choice, useSystemIsDark());
  const [isHelpOpen, setHelpOpen] = useState(false);
  const main = useRef<HTMLElement>(null);
  const focusHeading = useFocusHeading();
  const say = useMemo(() => wordsOf(messages, language), [language]);

  useEffect(() => {
    document.documentElement.lang = localeOf(language);
    document.title = `${say(route.view)} · Moebius`;
  }, [language, route.view, say]);
  // Before the view paints: a canvas reads its colours from the variables of this theme.
  document.documentElement.dataset.theme = theme;

  useEffect(() => {
    const listen = (event: KeyboardEvent): void => {
      const { key, altKey, ctrlKey, metaKey } = event;
      const isTyping = takesText(document.activeElement);
      const command = commandOf({ key, altKey, ctrlKey, metaKey, isTyping });
      if (command === undefined) return;
      const dialog = document.querySelector<HTMLDialogElement>('dialog[open]');
      // What is behind a dialog is not there while it is open.
      if (dialog !== null && command.kind === 'open') return;
      event.preventDefault();
      if (command.kind === 'open') open(command.view);
      else if (dialog === null) setHelpOpen(true);
      else dialog.close();
    };
    addEventListener('keydown', listen);
    return () => removeEventListener('keydown', listen);
  }, []);

  return (
    <LanguageContext.Provider value={language}>
      <ThemeContext.Provider value={theme}>
        <button type="button" class="skip" onClick={() => main.current?.focus()}>
          {say('skip')}
        </button>
        <header class="shell">
          <span class="brand">Moebius</span>
          <nav aria-label={say('views')}>
            {VIEWS.map((view, index) => (
              <a
                key={view}
                href={`#/${view}`}
                aria-current={view === route.view ? 'page' : undefined}
                aria-keyshortcuts={String(index + 1)}
              >
                {say(view)}
              </a>
            ))}
          </nav>
          <div class="switches">
            <Picker
              label={say('language')}
              value={language}
              options={LANGUAGES.map((each) => [each, each === 'zh' ? '中文' : 'English'])}
              onPick={(value) => {
                setLanguage(value);
                writeStored('language', value);
              }}
            />
            <Picker
              label={say('theme')}
              value={choice}
              options={THEME_CHOICES.map((each) => [each, say(each)])}
              onPick={(value) => {
                setChoice(value);
                writeStored('theme', value);
              }}
            />
            <button
              type="button"
              aria-label={say('help')}
              aria-keyshortcuts="?"
              onClick={() => setHelpOpen(true)}
            >
              ?
            </button>
          </div>
        </header>
        <main id="main" tabIndex={-1} ref={main}>
          <LoadedView
            key={route.view}
            route={route}
            setParameters={setParameters}
            onShown={() => focusHeading(main.current, route.view)}
          />
        </main>
        {isHelpOpen && <KeyList onClose={() => setHelpOpen(false)} />}
      </ThemeContext.Provider>
    </LanguageContext.Provider>
  );
}

/**
 * After a change of view the focus is on its heading, where a reader goes on; as the page opens it
 * is left where the browser puts it.
 */
function useFocusHeading(): (main: HTMLElement | null, view: ViewName) => void {
  const shown = useRef<ViewName | undefined>(undefined);
  return (main, view) => {
    const isChange = shown.current !== undefined && shown.current !== view;
    shown.current = view;
    const heading = main?.querySelector('h1');
    if (!isChange || heading === null || heading === undefined) return;
    heading.tabIndex = -1;
    heading.focus();
  };
}

interface LoadedViewProperties {
  readonly route: Route;
  readonly setParameters: (changes: ParameterChanges) => void;
  /** Once the view is in the page. */
  readonly onShown: () => void;
}

/** A view's code comes when it is first wanted; until then, and when it fails, a line says so. */
function LoadedView({ route, setParameters, onShown }: LoadedViewProperties): JSX.Element {
  const { view, parameters } = route;
  const say = useWords(messages);
  const [loaded, setLoaded] = useState<ViewModule | undefined>(undefined);
  const [reason, setReason] = useState<string | undefined>(undefined);
  useEffect(() => {
    let isCurrent = true;
    VIEW_MODULES[view]().then(
      (module) => isCurrent && setLoaded(module),
      (error: unknown) => isCurrent && setReason(String(error)),
    );
    return () => {
      isCurrent = false;
    };
  }, [view]);
  useEffect(() => {
    if (loaded !== undefined) onShown();
  }, [loaded]);
  if (reason !== undefined) {
    return <p role="alert">{say('failed', { view: say(view), reason })}</p>;
  }
  if (loaded === undefined) return <p role="status">{say('loading', { view: say(view) })}</p>;
  return <loaded.View parameters={parameters} setParameters={setParameters} />;
}

interface PickerProperties<T extends string> {
  readonly label: string;
  readonly value: T;
  readonly options: readonly (readonly [T, string])[];
  readonly onPick: (value: T) => void;
}

function Picker<T extends string>(properties: PickerProperties<T>): JSX.Element {
  const { label, value, options, onPick } = properties;
  return (
    <select
      aria-label={label}
      value={value}
      onChange={(event) => onPick(event.currentTarget.value as T)}
    >
      {options.map(([each, name]) => (
        <option key={each} value={each}>
          {name}
        </option>
      ))}
    </select>
  );
}

interface RouteState {
  readonly route: Route;
  readonly setParameters: (changes: ParameterChanges) => void;
}

/** The route of the address. What a view changes replaces the entry; a link makes a new one. */
function useRoute(): RouteState {
  const [route, setRoute] = useState<Route>(() => parseRoute(location.hash));
  useEffect(() => {
    const follow = (): void => setRoute(parseRoute(location.hash));
    addEventListener('hashchange', follow);
    return () => removeEventListener('hashchange', follow);
  }, []);
  const setParameters = useCallback((changes: ParameterChanges): void => {
    // From the address and not from the state: two changes in one event must both hold.
    const { view, parameters } = parseRoute(location.hash);
    const next = { view, parameters: changeParameters(parameters, changes) };
    history.replaceState(null, '', formatRoute(next));
    setRoute(next);
  }, []);
  return { route, setParameters };
}

function useSystemIsDark(): boolean {
  const query = useMemo(() => matchMedia('(prefers-color-scheme: dark)'), []);
  const [isDark, setDark] = useState(query.matches);
  useEffect(() => {
    const follow = (): void => setDark(query.matches);
    query.addEventListener('change', follow);
    return () => query.removeEventListener('change', follow);
  }, [query]);
  return isDark;
}

function open(view: ViewName): void {
  location.hash = `/${view}`;
}
