private let colours: [UInt32] = [
    0xff3b30, 0x34c759, 0x007aff, 0xffcc00, 0xaf52de, 0x5ac8fa, 0xff9500, 0xff2d55, 0x00c7be, 0xa2845e,
]
private let opacity: UInt32 = 0x90

/// - Parameter labels: object ids, 0 for the background.
/// - Returns: ARGB of each, transparent on the background.
func overlay(_ labels: [UInt8]) -> [UInt32] {
    labels.map { $0 == 0 ? 0 : opacity << 24 | colours[(Int($0) - 1) % colours.count] }
}

/// Where a frame is shown in a view: whole, centred. A mirrored one is flipped left to right.
struct Placement {
    /// In the view's units, as `top`, `width` and `height`.
    let left: Double
    let top: Double
    let width: Double
    let height: Double
    private let frame: Size
    private let scale: Double
    private let isMirrored: Bool

    init(frame: Size, viewWidth: Double, viewHeight: Double, isMirrored: Bool) {
        self.frame = frame
        self.isMirrored = isMirrored
        scale = min(viewWidth / Double(frame.width), viewHeight / Double(frame.height))
        width = Double(frame.width) * scale
        height = Double(frame.height) * scale
        left = (viewWidth - width) / 2
        top = (viewHeight - height) / 2
    }

    /// - Returns: the frame's pixel that is shown at a place of the view, inside the frame.
    func pixel(_ x: Double, _ y: Double) -> (x: Int, y: Int) {
        let across = min(max(Int((x - left) / scale), 0), frame.width - 1)
        let down = min(max(Int((y - top) / scale), 0), frame.height - 1)
        return (isMirrored ? frame.width - 1 - across : across, down)
    }

    /// - Returns: the box between two places of the view, in pixels of the frame.
    func box(_ x0: Double, _ y0: Double, _ x1: Double, _ y1: Double) -> Box {
        let (first, second) = (pixel(x0, y0), pixel(x1, y1))
        let (left, top) = (min(first.x, second.x), min(first.y, second.y))
        return Box(
            left: left, top: top, width: max(first.x, second.x) - left + 1,
            height: max(first.y, second.y) - top + 1
        )
    }
}
