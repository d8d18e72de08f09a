import { render } from 'preact';
import '../styles/base.css';
import '../styles/home.css';
import { Home } from './home';

const root = document.getElementById('app');
if (root) render(<Home />, root);
