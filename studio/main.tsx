/** Where the page begins: styles, then the shell. */
import { render } from 'preact';
import './app/theme.css';
import { Shell } from './app/shell.tsx';

const place = document.getElementById('studio');
if (place !== null) render(<Shell />, place);
