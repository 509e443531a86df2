/**
 * Light, dark, or as the system says. The colours themselves are CSS variables in `theme.css`; a
 * canvas, which knows no variables, asks `readColor` and draws again when `useTheme` changes.
 */
import { type Context, createContext } from 'preact';
import { useContext } from 'preact/hooks';

export type ThemeChoice = 'light' | 'dark' | 'system';

export type Theme = 'light' | 'dark';

export const THEME_CHOICES: readonly ThemeChoice[] = ['system', 'light', 'dark'];

export function chooseTheme(stored: string | undefined): ThemeChoice {
  return stored === 'light' || stored === 'dark' ? stored : 'system';
}

export function shownTheme(choice: ThemeChoice, systemIsDark: boolean): Theme {
  if (choice !== 'system') return choice;
  return systemIsDark ? 'dark' : 'light';
}

export const ThemeContext: Context<Theme> = createContext<Theme>('light');

/** What is shown now; a view that paints on canvas makes it a dependency of its painting. */
export function useTheme(): Theme {
  return useContext(ThemeContext);
}

/** The value of a variable of `theme.css`, such as `--curve-1`. */
export function readColor(variable: `--${string}`): string {
  return getComputedStyle(document.documentElement).getPropertyValue(variable).trim();
}
