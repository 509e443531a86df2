/** Where each view's code lies; it is loaded when the view is first opened. */
import type { JSX } from 'preact';
import type { ViewName, ViewProperties } from './router.ts';

export interface ViewModule {
  readonly View: (properties: ViewProperties) => JSX.Element;
}

export const VIEW_MODULES: Readonly<Record<ViewName, () => Promise<ViewModule>>> = {
  runs: () => import('../runs/view.tsx'),
  experts: () => import('../experts/view.tsx'),
  chat: () => import('../chat/view.tsx'),
  timeline: () => import('../timeline/view.tsx'),
  planner: () => import('../planner/view.tsx'),
};
