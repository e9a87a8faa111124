// The order's state, as the worker moves it on.
const place = document.querySelector('[data-order]');
if (place !== null) {
  const events = new EventSource(`/events?order=${place.dataset.order}`);
  events.addEventListener('state', ({ data }) => {
    place.textContent = data;
    if (data === 'done') events.close();
  });
}
