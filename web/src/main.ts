import './app.css';
import { mount } from 'svelte';
import App from './App.svelte';
import { routeAt } from './routes';

// The page's code comes in while the session is still being asked for.
void routeAt(location.pathname)?.load();

const target = document.getElementById('app');
if (!target) throw new Error('index.html has no #app');
mount(App, { target });
