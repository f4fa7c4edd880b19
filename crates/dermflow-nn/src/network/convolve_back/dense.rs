//! The backward pass of a k×k convolution, image by image.

use crate::kernels::product::End;

use super::super::context::{lanes, sum_in_lanes};
use super::super::convolve::fill;
use super::Backward;

impl Backward<'_> {
    pub(super) fn dense(
        &self,
        weight_gradient: &mut [f32],
        out: Option<&mut [f32]>,
        end: End<'_>,
    ) -> Vec<f64> {
        let (context, of) = (self.context, self.of);
        let (inputs, outputs) = (of.inputs, of.outputs);
        let weight = &context.decayed[of.weight.clone()];
        let window = context.window(of, self.grid.size(), None);
        let taps = of.kernel * of.kernel;
        let panels = out.is_some().then(|| {
            window.spread_panels(context.pool, context.set, outputs, inputs, |i, j, output| {
                let start = (output * taps + i * of.kernel + j) * inputs;
                &weight[start..start + inputs]
            })
        });
        let (large, small) = (window.bordered_large(), window.bordered_small());
        let lane_count = lanes(self.grid.count, self.out_grid.places());
        let image_len = self.grid.of_image() * inputs;
        let parts = Self::parts(out, lane_count, self.grid.count, image_len);
        sum_in_lanes(
            context.pool,
            parts,
            self.grid.count,
            weight_gradient,
            |share, mut out, weights| {
                let mut up = context.pool.take(small.len(outputs));
                let mut read = context.pool.take(large.len(inputs));
                small.clear(outputs, &mut up);
                for (index, image) in share.enumerate() {
                    self.up_image(image, &small, 1, &mut up);
                    if let (Some(panels), Some(out)) = (&panels, &mut out) {
                        let out = &mut out[index * image_len..(index + 1) * image_len];
                        window.spread(context.set, &up, outputs, panels, out, end);
                    }
                    fill(context, self.source, self.grid, image, inputs, &large, &mut read);
                    let small = (&up[small.start(outputs)..], small.pitch(outputs), outputs);
                    window.weigh(context.set, small, &read, inputs, weights);
                }
            },
        );
        Vec::new()
    }
}
