/// How much of the view's height or width the objects should fill.
private let fillShare = 0.7

/// The view is at least as high as this part of the network's image; smaller ones only blur.
private let smallest = 0.6

/// The most that the view's height changes from one frame to the next.
private let grow = 1.1
private let shrink = 0.98

/// The gains of an alpha-beta filter: of a place, and of its motion between frames.
private let placeGain = 0.4
private let motionGain = 0.1

private let nearlyWhole = 0.98

/// Follow the objects with a view; the whole frame is searched while one of them is lost. As
/// runtime/objects/zoom.py, which says why.
struct Zoom {
    private let image: Size
    private var frame = Size(height: 0, width: 0)
    private var box: Box?  // around all objects; nil where one is lost
    private var ids: Set<Int> = []  // of them
    private var height = 0.0  // of the view, in pixels
    private var across = Track(0)
    private var down = Track(0)

    /// - Parameter image: the size of the network's image.
    init(image: Size) {
        self.image = image
    }

    /// Begin with the whole frame.
    mutating func clear() {
        box = nil
        height = 0
    }

    /// - Parameters:
    ///   - shown: a box around what the user shows in the next frame; nil for nothing.
    ///   - anew: whether that is all there is.
    /// - Returns: the part of that frame to look at.
    func view(_ frame: Size, shown: Box?, anew: Bool) -> Box {
        if let shown, anew {
            return viewAt(shown.centreX, shown.centreY, heightFor(shown, frame), frame)
        }
        guard let box, frame == self.frame else { return Box.whole(frame) }
        guard let shown else { return viewAt(across.next, down.next, height, frame) }
        let both = box.joined(shown)
        return viewAt(both.centreX, both.centreY, max(height, heightFor(both, frame)), frame)
    }

    /// Take what was found.
    ///
    /// - Parameters:
    ///   - view: the part of the frame that was looked at.
    ///   - found: the box around all objects; nil if one of them is lost.
    ///   - ids: of all objects.
    ///   - isShown: whether the user showed something in this frame, perhaps far from all before.
    mutating func update(_ view: Box, found: Box?, ids: Set<Int>, frame: Size, isShown: Bool) {
        if found == nil || frame != self.frame { clear() }
        self.frame = frame
        guard let found else { return }
        resize(view, found)
        if box == nil || isShown || ids != self.ids {
            across = Track(found.centreX)
            down = Track(found.centreY)
        } else {
            across.follow(found.centreX)
            down.follow(found.centreY)
        }
        box = found
        self.ids = ids
    }

    private mutating func resize(_ view: Box, _ found: Box) {
        let whole = heightOf(frame)
        var before = heightOf(view.size)
        if view == Box.whole(frame) { before = height > 0 ? height : whole }
        var wanted = heightFor(found, frame)
        if view.cuts(found, frame) { wanted = max(wanted, before * grow) }
        height = min(max(wanted, before * shrink), before * grow, whole)
    }

    /// How high a view is, in pixels, of which a box fills `fillShare` in height or width.
    private func heightFor(_ box: Box, _ frame: Size) -> Double {
        min(max(heightOf(box.size) / fillShare, smallest * Double(image.height)), heightOf(frame))
    }

    /// A view of the network's aspect ratio, as far as the frame reaches; what is nearly all of it is
    /// all.
    private func viewAt(_ x: Double, _ y: Double, _ height: Double, _ frame: Size) -> Box {
        if height >= nearlyWhole * heightOf(frame) { return Box.whole(frame) }
        let width = height * Double(image.width) / Double(image.height)
        return Box.at(x, y, height: height, width: width, frame: frame)
    }

    /// The height of what has the network's aspect ratio and holds so much.
    private func heightOf(_ size: Size) -> Double {
        max(Double(size.height), Double(size.width) * Double(image.height) / Double(image.width))
    }
}

/// An alpha-beta filter of one coordinate.
private struct Track {
    private var place: Double
    private var motion = 0.0

    init(_ place: Double) {
        self.place = place
    }

    /// Where it will be in the next frame.
    var next: Double { place + motion }

    mutating func follow(_ seen: Double) {
        let missed = seen - next
        place = next + placeGain * missed
        motion += motionGain * missed
    }
}
