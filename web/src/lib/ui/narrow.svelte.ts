/** Whether this window has no room for what wide ones show: below 1,200 px. */
class Narrow {
  now = $state(false);

  constructor() {
    const query = matchMedia('(max-width: 1199px)');
    this.now = query.matches;
    query.addEventListener('change', () => {
      this.now = query.matches;
    });
  }
}

export const narrow = new Narrow();
