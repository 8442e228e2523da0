//! What stands where on a screen of any size.

use ratatui::layout::Rect;

/// A screen with less than this shows one line.
const LEAST_WIDTH: u16 = 20;
const LEAST_HEIGHT: u16 = 5;
/// Lines that each panel has at least where several are shown: its title, its header and two entries.
const LEAST_PANEL: u16 = 4;

/// Places of a screen; what has no room has no place.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Places {
    /// One line, or two with how the parts of the service are.
    pub(super) header: Rect,
    pub(super) banner: Option<Rect>,
    /// One line, or four with a line for each rate and one for times.
    pub(super) rates: Option<Rect>,
    /// The names of the panels, where only one of them is shown.
    pub(super) tabs: Option<Rect>,
    /// By panel.
    pub(super) panels: Vec<Option<Rect>>,
    pub(super) footer: Option<Rect>,
}

/// Divides a screen. Each panel needs so many lines; the chosen one is always shown.
pub(super) fn places(screen: Rect, needs: &[u16], chosen: usize, has_banner: bool) -> Places {
    if screen.width < LEAST_WIDTH || screen.height < LEAST_HEIGHT {
        let header = Rect { height: screen.height.min(1), ..screen };
        return Places { header, panels: vec![None; needs.len()], ..Places::default() };
    }
    let mut left = screen;
    let height = screen.height;
    let header = top(&mut left, if height >= 12 { 2 } else { 1 });
    let banner = has_banner.then(|| top(&mut left, 1));
    let rates = match height {
        20.. => Some(top(&mut left, 4)),
        12.. => Some(top(&mut left, 1)),
        _ => None,
    };
    let footer = (height >= 8).then(|| bottom(&mut left, 1));
    if let Some(heights) = shared(left.height, needs, chosen) {
        let panels = heights.into_iter().map(|height| Some(top(&mut left, height))).collect();
        return Places { header, banner, rates, tabs: None, panels, footer };
    }
    let tabs = (height >= 8).then(|| top(&mut left, 1));
    let panels = (0..needs.len()).map(|panel| (panel == chosen).then_some(left)).collect();
    Places { header, banner, rates, tabs, panels, footer }
}

/// Lines of each panel where all of them are shown: the chosen one first gets what it needs, then the others in turn.
fn shared(height: u16, needs: &[u16], chosen: usize) -> Option<Vec<u16>> {
    let mut heights: Vec<u16> = needs.iter().map(|need| (*need).min(LEAST_PANEL)).collect();
    let mut left = height.checked_sub(heights.iter().sum())?;
    let others = (0..needs.len()).filter(|panel| *panel != chosen);
    for panel in std::iter::once(chosen).chain(others) {
        let more = needs[panel].saturating_sub(heights[panel]).min(left);
        heights[panel] += more;
        left -= more;
    }
    Some(heights)
}

fn top(left: &mut Rect, height: u16) -> Rect {
    let height = height.min(left.height);
    let taken = Rect { height, ..*left };
    *left = Rect { y: left.y + height, height: left.height - height, ..*left };
    taken
}

fn bottom(left: &mut Rect, height: u16) -> Rect {
    let height = height.min(left.height);
    left.height -= height;
    Rect { y: left.y + left.height, height, ..*left }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDS: [u16; 6] = [5, 5, 10, 3, 3, 12];

    fn heights(places: &Places) -> Vec<u16> {
        places.panels.iter().map(|panel| panel.map_or(0, |panel| panel.height)).collect()
    }

    #[test]
    fn the_usual_terminal_shows_one_panel_with_its_name_among_the_others() {
        let places = places(Rect::new(0, 0, 80, 24), &NEEDS, 2, false);
        assert_eq!(heights(&places), [0, 0, 16, 0, 0, 0]);
        assert_eq!((places.tabs.map(|tabs| tabs.y), places.footer.map(|footer| footer.y)), (Some(6), Some(23)));
    }

    #[test]
    fn a_tall_one_shows_all_and_the_chosen_one_has_what_it_needs() {
        let screen = Rect::new(0, 0, 80, 36);
        assert_eq!(heights(&places(screen, &NEEDS, 2, false)), [5, 4, 10, 3, 3, 4]);
        assert_eq!(heights(&places(screen, &NEEDS, 5, false)), [4, 4, 4, 3, 3, 11]);
        assert_eq!(heights(&places(Rect::new(0, 0, 80, 99), &NEEDS, 0, false)), NEEDS);
    }

    #[test]
    fn a_small_one_leaves_out_what_matters_less() {
        let small = places(Rect::new(0, 0, 40, 10), &NEEDS, 0, true);
        assert_eq!((small.header.height, small.banner.is_some(), small.rates), (1, true, None));
        assert_eq!(heights(&small), [6, 0, 0, 0, 0, 0]);
        let tiny = places(Rect::new(0, 0, 40, 5), &NEEDS, 0, false);
        assert_eq!((tiny.footer, tiny.tabs, heights(&tiny)[0]), (None, None, 4));
    }

    #[test]
    fn nothing_lies_outside_or_on_top_of_another_whatever_the_size() {
        for (width, height) in (0..50).flat_map(|width| (0..60).map(move |height| (width, height))) {
            for chosen in 0..NEEDS.len() {
                let screen = Rect::new(0, 0, width, height);
                let places = places(screen, &NEEDS, chosen, true);
                let all = [Some(places.header), places.banner, places.rates, places.tabs, places.footer];
                let all = all.into_iter().chain(places.panels.iter().copied()).flatten();
                let lines: u16 = all.clone().map(|place| place.height).sum();
                assert!(lines <= height, "{width}x{height}");
                assert!(all.into_iter().all(|place| place.union(screen) == screen), "{width}x{height}");
            }
        }
    }
}
